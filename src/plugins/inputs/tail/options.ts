/**
 * What `tail` can be told.
 * Source: Fluent Bit 5.1.1 plugins/in_tail/tail.c config_map.
 */
import {
  choice,
  csv,
  flag,
  int,
  many,
  prefixed,
  refused,
  seconds,
  size,
  text,
  type Values
} from '../../../config/options.ts'

const WINDOWS_ONLY = 'it exists on Windows only'

export const TAIL_OPTIONS = {
  path: csv({ doc: 'Files to read: paths and patterns, separated by commas' }),
  exclude_path: csv({ doc: 'Patterns of files not to read' }),
  key: text({ default: 'log', doc: 'Key of a line that no parser took' }),
  read_from_head: flag({
    default: 'false',
    doc: 'Read files that are there at the start from their beginning'
  }),
  read_newly_discovered_files_from_head: flag({
    default: 'true',
    doc: 'Read files that appear later from their beginning'
  }),
  refresh_interval: text({ default: '60', doc: 'Seconds between looks for new files, sec[.nsec]' }),
  watcher_interval: seconds({
    default: '2s',
    doc: 'Time between looks whether links point elsewhere'
  }),
  progress_check_interval: seconds({
    default: '2s',
    doc: 'Time between looks at files without notification'
  }),
  progress_check_interval_nsec: int({ default: '0', doc: 'Nanoseconds to add to that time' }),
  rotate_wait: seconds({
    default: '5',
    doc: 'How long a rotated file is still read'
  }),
  docker_mode: flag({ default: 'false', doc: 'Join lines that Docker split' }),
  docker_mode_flush: int({ default: '4', doc: 'Seconds to wait for the rest of a split line' }),
  docker_mode_parser: text({ doc: 'Parser of the first line in Docker mode' }),
  path_key: text({ doc: 'Key for the path of the file' }),
  offset_key: text({ doc: 'Key for the position of the line in the file' }),
  ignore_older: seconds({
    default: '0',
    doc: 'Do not read files that were last changed before; 0 reads all'
  }),
  ignore_active_older_files: flag({
    default: 'false',
    doc: 'Stop reading a file when it gets older than ignore_older'
  }),
  buffer_chunk_size: size({ default: '32768', doc: 'First size of the buffer of a file' }),
  buffer_max_size: size({
    default: '32768',
    doc: 'Largest size of that buffer, which bounds a line'
  }),
  static_batch_size: size({
    default: '50M',
    doc: 'Bytes of files found at the start that are read in one go'
  }),
  event_batch_size: size({
    default: '50M',
    doc: 'Bytes of followed files that are read in one go'
  }),
  skip_long_lines: flag({ default: 'false', doc: 'Skip lines that are longer than the buffer' }),
  exit_on_eof: flag({ default: 'false', doc: 'Stop when all files are read to their end' }),
  skip_empty_lines: flag({ default: 'false', doc: 'Leave empty lines out' }),
  truncate_long_lines: flag({ default: 'false', doc: 'Cut lines that are longer than the buffer' }),
  file_cache_advise: flag({
    default: 'true',
    doc: 'Ask the system not to cache what was read; read and without effect'
  }),
  inotify_watcher: flag({
    default: 'true',
    doc: 'Watch quiet files by notification, not by looking'
  }),
  'windows.path_encoding': refused(text({ default: 'ansi', doc: 'Windows only' }), WINDOWS_ONLY),
  parser: text({ doc: 'Parser of each line' }),
  tag_regex: text({ doc: 'Pattern over the path whose named groups fill <name> in the tag' }),
  db: text({ doc: 'SQLite file that keeps positions over a restart' }),
  'db.sync': choice(['extra', 'full', 'normal', 'off'], {
    default: 'normal',
    doc: 'How careful the database writes: extra, full, normal or off'
  }),
  'db.locking': flag({ default: 'false', doc: 'Keep other programs out of the database' }),
  'db.journal_mode': choice(['DELETE', 'TRUNCATE', 'PERSIST', 'MEMORY', 'WAL', 'OFF'], {
    default: 'WAL',
    doc: 'Journal mode of the database'
  }),
  'db.compare_filename': flag({
    default: 'false',
    doc: 'A stored position counts only for a file of the same name'
  }),
  multiline: flag({ default: 'false', doc: 'Old multiline mode' }),
  multiline_flush: seconds({
    default: '4',
    doc: 'Time to wait for more lines in old multiline mode'
  }),
  parser_firstline: text({ doc: 'Parser of the first line in old multiline mode' }),
  parser_: prefixed({ doc: 'More parsers in old multiline mode: Parser_1 and so on' }),
  'multiline.parser': many(csv({ doc: 'Multiline parsers to try' })),
  'unicode.encoding': text({ doc: 'Encoding of the files: auto, UTF-16LE or UTF-16BE' }),
  'generic.encoding': text({ doc: 'Encoding of the files, such as ShiftJIS, GBK or Win1252' })
}

export type TailValues = Values<typeof TAIL_OPTIONS>
