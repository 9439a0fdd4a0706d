/** What is meant to differ from Fluent Bit in the cases and the golden configurations, and why. */

export interface MeantDifference {
  /** Cases that it shows in. */
  readonly cases: RegExp
  /** Lines that are left out of the comparison, on both sides; text is latin1. */
  readonly line: RegExp
  readonly reason: string
}

export const DIFFERENCES: readonly MeantDifference[] = [
  {
    cases: /^(parse|time|decode|tail)/,
    line: /\[parser\] cannot parse |\] invalid time format |cast error\. save as string|\[parser_decoder\]/,
    reason:
      'No log line for every record: the first text that does not fit is reported, then every tenfold count'
  },
  {
    cases: /^(parse|time)/,
    line: /\] error packing event$/,
    reason:
      'A time before 1970 or after 2106 does not cost the record: it is no time, and the record gets that of its reading'
  },
  {
    cases: /^parsers_(apache2?|nginx)$/,
    line: /"path":"\/(before|after)"/,
    reason: 'Times outside of 1970 to 2106, as above'
  },
  {
    cases: /^time_formats$/,
    line: /^(e: .*"05\/06\/24 07:08:09"|epoch: .*"1714979289250"|twodigit: .*"690506"|ws: .*"1714979289(\.25|250)?"|(iso|century): .*"0000-01-01T00:00:00")/,
    reason: 'Times outside of 1970 to 2106, as above'
  },
  {
    cases: /^time_zone$/,
    line: /"time":"1950-06-01 00:00:00"/,
    reason: 'Times outside of 1970 to 2106, as above'
  },
  {
    cases: /^time_(json|offset)$/,
    line: /^loose: .*("ts":"bad"|"id":(2|4|8|15|16|17|18|19|20)\}|"m":"time")|^epoch: .*"id":(17|18|19)\}/,
    reason:
      'Times outside of 1970 to 2106, as above; with time_strict off, text that is no time counts as one of 1899'
  },
  {
    cases: /^tail_(truncate_long_lines|skip_truncate_both)$/,
    line: /\xc3\xa9/,
    reason: 'A line is cut between characters, not inside of one'
  },
  {
    cases: /^tail_long_line_stops$/,
    line: /"short (between|after)"|"end"|requires a larger buffer|^(stopped, )?exit 0$/,
    reason: 'A line that is too long costs itself and not the rest of its file'
  },
  {
    cases: /^tail_skip_long_lines_offset$/,
    line: /"log":"(short between|short after|end)"/,
    reason: 'offset_key counts the bytes of skipped lines too'
  },
  {
    cases: /^decode_(field_as|chains)$/,
    line: /"log":"end(\\u0000)?"/,
    reason: 'A closing backslash is left out; Fluent Bit reads the zero behind the text'
  },
  {
    cases: /^parser_regex_syntax$/,
    line: /^unicode: .*\{"(log|l)":""\}\]$/,
    reason: 'In text that is not UTF-8, Unicode classes see each byte as a character'
  },
  {
    cases: /./,
    line: /^\[ warn\] (\[env\] variable .* is used but not set|\[config\] \S+:\d+:\d+: )/,
    reason:
      'Doubtful places of a configuration are reported with their place, and there are more of them'
  },
  {
    cases: /./,
    line: /^\[ warn\] \[router\] NO match for /,
    reason: 'As above; an output that a route leads to is not reported'
  },
  {
    cases: /^decode_bad_rules$/,
    line: /\[parser\] (field decoder|invalid number of parameters)|decodes no fields: /,
    reason: 'The message about a decoder that cannot be read has a place'
  },
  {
    cases: /^file_/,
    line: /^\[error\] .*\[?(<C file> )?errno=\d+\] /,
    reason: 'The reason of the system is logged by the output, not with a place in a C file'
  },
  {
    cases: /^filter_modify$/,
    line: /Rule "Add x 1 2" has three words/,
    reason: 'A rule that means something else than it says is reported'
  },
  {
    cases: /^processor_conditions$/,
    line: /\[cfl record accessor\] translation failed/,
    reason: 'No log line for every record that a rule does not fit'
  },
  {
    cases: /^file_accessor_fallback$/,
    line: /\[record accessor\] translation failed/,
    reason: 'No log line for every record; on_missing_field says what happens to it'
  }
]

/** Golden configurations that one program is meant to accept and the other to refuse. */
export const VERDICTS: readonly { readonly cases: RegExp; readonly reason: string }[] = [
  {
    cases: /^both_bom\.case main\.conf$/,
    reason: 'A byte order mark is left out in both formats'
  },
  {
    cases: /^classic_include_spaces\.case/,
    reason: 'White space round the name of an included file is no part of it'
  },
  {
    cases: /^both_custom\.case|^both_stream_processor\.case|^yaml_processors\.case/,
    reason: 'Custom plugins, the stream processor and the processors proper are not in this version'
  },
  {
    cases: /^both_plugins\.case|^yaml_plugins_shape\.case/,
    reason: 'Fluent Bit crashes on a plugin file that it cannot load'
  }
]

/** What `npm run parity` may say about option tables. */
export const OPTIONS: readonly { readonly line: string; readonly reason: string }[] = [
  {
    line: 'input stdin: `buffer_size` defaults to `16000`, there nothing',
    reason: 'The default that Fluent Bit has in its code stands in the table'
  },
  {
    line: 'filter parser: `Unescape_key` is of type string, there deprecated',
    reason: 'There is no type of deprecated options; the value has no effect in both programs'
  }
]
