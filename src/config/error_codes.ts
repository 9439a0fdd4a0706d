/**
 * Every mistake that a configuration can hold: what it is, how it comes about, what to do.
 * `docs/errors.md` is generated from this table.
 */
export const ERROR_CODES = {
  CFG_BAD_COMMAND: {
    summary: 'An @ command of the classic format cannot be read',
    cause: '@SET without "=", @INCLUDE without a file, or another @ word without a value.',
    action: 'Write @SET NAME=value or @INCLUDE file, starting in the first column.'
  },
  CFG_BAD_CONDITION: {
    summary: 'A condition cannot be used',
    cause: 'An operator, a field or a value of a rule is missing or of the wrong kind.',
    action:
      'Write op and rules, each with field, op and a value of the kind that the message names.'
  },
  CFG_BAD_ENV: {
    summary: 'An entry of the env section has no name',
    cause: 'A list entry holds value, uri or refresh_interval but no name.',
    action: 'Write "- name: NAME" with "value:" or "uri:", or "- NAME: value".'
  },
  CFG_BAD_HEADING: {
    summary: 'A section heading has no closing bracket',
    cause: 'A line starts with "[" and holds no "]".',
    action: 'Close the name with "]", or indent the line if it is not a heading.'
  },
  CFG_BAD_INDENT: {
    summary: 'A line of the classic format is not indented like the others',
    cause:
      'The first indented line of a file fixes the indentation. Every key, indented comment and ' +
      'blank line must have exactly it, or twice it inside a group.',
    action: 'Indent all keys of the file alike, with spaces only or with tabs only.'
  },
  CFG_BAD_REGEX: {
    summary: 'A regular expression is invalid',
    cause: 'The pattern breaks the rules of Ruby regular expressions.',
    action: 'Correct the pattern where the message says.'
  },
  CFG_BAD_VALUE: {
    summary: 'A value is not what its key takes',
    cause: 'The text is not of the kind of the key, or out of its range.',
    action: 'Write a value of the kind that the message names.'
  },
  CFG_EMPTY_SECTION: {
    summary: 'A section has no keys',
    cause: 'The next heading or the end of the file follows at once.',
    action: 'Add keys or remove the heading.'
  },
  CFG_EMPTY_VALUE: {
    summary: 'A key has no value',
    cause: 'Nothing but white space follows the key, or its list is empty.',
    action: 'Write a value or remove the key.'
  },
  CFG_ENV_FILE: {
    summary: 'The file of a variable cannot be read',
    cause: 'A variable names a file:// value that is missing, unreadable or empty.',
    action: 'Create the file and let this process read it.'
  },
  CFG_FILE_UNREADABLE: {
    summary: 'A file cannot be read',
    cause: 'It does not exist, is a directory, or this process may not read it.',
    action: 'Correct the path or the permissions. Relative paths start where the agent runs.'
  },
  CFG_IGNORED_KEY: {
    summary: 'A key has no effect where it stands',
    cause: 'The section does not know the key, and Fluent Bit passes over it in silence.',
    action: 'Remove it or move it to the section that it belongs to.'
  },
  CFG_IGNORED_TEXT: {
    summary: 'Text behind a number is ignored',
    cause: 'Like C, the reader stops at the first character that is no part of the number.',
    action: 'Write the number alone, with a unit that the key knows.'
  },
  CFG_IGNORED_VALUE: {
    summary: 'A value has no effect',
    cause: 'It is blank or of a form that Fluent Bit drops in silence.',
    action: 'Write a value or remove the key.'
  },
  CFG_INCLUDED_TWICE: {
    summary: 'A file is included more than once',
    cause: 'Two includes name the same file, or a file includes itself.',
    action: 'Keep one of the includes.'
  },
  CFG_INCLUDE_NO_MATCH: {
    summary: 'An include pattern matches no file',
    cause:
      'No file fits the pattern; relative patterns start at the directory of the configuration.',
    action: 'Correct the pattern or create the file.'
  },
  CFG_INCOMPLETE_PREFIX: {
    summary: 'A key that is a prefix stands alone',
    cause: 'A name must follow the prefix, as in "rdkafka.client.id".',
    action: 'Write the whole key.'
  },
  CFG_KEY_OUTSIDE_SECTION: {
    summary: 'A key stands before the first section',
    cause: 'No [SECTION] line comes before it in its file.',
    action: 'Put a heading above it. An included file needs a heading of its own.'
  },
  CFG_LINE_TOO_LONG: {
    summary: 'A line is longer than 32 MiB',
    cause: 'The file is most likely not a configuration.',
    action: 'Check the path.'
  },
  CFG_MISSING_KEY: {
    summary: 'A key that must be set is missing',
    cause: 'The section cannot work without it.',
    action: 'Set the key that the message names.'
  },
  CFG_MISSING_NAME: {
    summary: 'A section has no name',
    cause: 'Inputs, filters, outputs, parsers and upstreams must have the key "name".',
    action: 'Set "name".'
  },
  CFG_MISSING_VALUE: {
    summary: 'A line of the classic format is a key without a value',
    cause: 'No space follows the key. A tab does not separate a key from its value.',
    action: 'Write the key, a space and the value.'
  },
  CFG_NO_MATCH: {
    summary: 'A filter or output has no match',
    cause: 'Neither match nor match_regex is set.',
    action: 'Add a match such as "match *".'
  },
  CFG_NOT_IN_THIS_VERSION: {
    summary: 'A feature is known and not in this version',
    cause:
      'The configuration uses a part of Fluent Bit that this version of Spillway does not have.',
    action: 'Remove it, or use a version that has it.'
  },
  CFG_NOT_UTF8: {
    summary: 'A file is not UTF-8',
    cause: 'It was written in another encoding.',
    action: 'Convert it to UTF-8.'
  },
  CFG_OVERWRITTEN_KEY: {
    summary: 'A later value of a key replaces an earlier one',
    cause: 'The key is set twice in one section.',
    action: 'Keep one.'
  },
  CFG_PLUGIN_FILE: {
    summary: 'A plugin file cannot be used',
    cause: 'The file is missing, fails while it loads, or exports no plugin.',
    action:
      'Correct the path or the file; it must export what defineInput, defineFilter or defineOutput returns.'
  },
  CFG_REFUSED_KEY: {
    summary: 'A key has no meaning here',
    cause: 'The key is known but cannot work on this platform or with other keys.',
    action: 'Remove the key; the message says why.'
  },
  CFG_REPEATED_KEY: {
    summary: 'A key is set more than once',
    cause: 'Only one of its values can count.',
    action: 'Keep one.'
  },
  CFG_REPEATED_SERVICE: {
    summary: 'The service section is defined more than once',
    cause: 'YAML files of one configuration may hold one service section between them.',
    action: 'Merge the sections.'
  },
  CFG_SECTION_NOT_HERE: {
    summary: 'A section stands in a file that it does not belong to',
    cause: 'Classic parsers belong to a parsers file; other files hold one kind of section each.',
    action: 'Move the section to the file that the message names.'
  },
  CFG_SHORT_HEADING: {
    summary: 'The name of a section is cut short',
    cause: 'Fluent Bit takes any beginning of a known name, such as [IN], for the name.',
    action: 'Write the name out.'
  },
  CFG_TAB_IN_KEY: {
    summary: 'A key holds a tab',
    cause: 'A tab stands where a space must separate the key from its value.',
    action: 'Replace the tab by a space.'
  },
  CFG_TEXT_AFTER_HEADING: {
    summary: 'Text behind a section heading is ignored',
    cause: 'Only the name in brackets is read.',
    action: 'Remove the text.'
  },
  CFG_TOO_MANY_FILES: {
    summary: 'A configuration has more than 1000 files',
    cause: 'An include pattern matches too much.',
    action: 'Narrow the pattern.'
  },
  CFG_UNKNOWN_COMMAND: {
    summary: 'An @ command is ignored',
    cause: 'Only @INCLUDE and @SET exist, and @SET works in the main configuration only.',
    action: 'Correct the name or remove the line.'
  },
  CFG_UNKNOWN_KEY: {
    summary: 'A key is not known',
    cause: 'The plugin or section has no such key.',
    action: 'Correct the name; the message lists what is near.'
  },
  CFG_TLS_FILES: {
    summary: 'Files of TLS cannot be used',
    cause:
      'A file that a tls key names is not there, may not be read, or is no certificate or key that fits.',
    action: 'Correct the key or the file. A dry run only warns, as in Fluent Bit.'
  },
  CFG_UNKNOWN_OUTPUT: {
    summary: 'A route names an output that does not exist',
    cause: 'No output has this alias, instance name or plugin name.',
    action: 'Correct the name, or give the output this alias.'
  },
  CFG_UNKNOWN_PARSER: {
    summary: 'A plugin names a parser that is not configured',
    cause: 'No [PARSER] section or parsers entry has this name, or its file is not loaded.',
    action:
      'Correct the name, or load the file with parsers_file. A dry run only warns, as in Fluent Bit.'
  },
  CFG_UNKNOWN_PLUGIN: {
    summary: 'A plugin is not known',
    cause: 'No plugin of this kind has the name.',
    action: 'Correct the name, or load the plugin with "plugins:" or -e.'
  },
  CFG_UNKNOWN_SECTION: {
    summary: 'A section is not known and ignored',
    cause: 'Its name is misspelt, or it belongs to another program.',
    action: 'Correct the name or remove the section.'
  },
  CFG_UNSET_VARIABLE: {
    summary: 'A variable is used but not set',
    cause: 'Neither the env section nor the environment of the process defines it.',
    action: 'Define it, or write a default: ${NAME:-default}.'
  },
  CFG_YAML_ALIAS: {
    summary: 'A YAML file uses an alias',
    cause: 'Aliases (*name) and merge keys (<<) are not part of the format.',
    action: 'Repeat the value, or put shared text into a variable of the env section.'
  },
  CFG_YAML_KEY: {
    summary: 'A YAML key is not plain text',
    cause: 'A key is a list, a mapping or empty.',
    action: 'Write the key as text.'
  },
  CFG_YAML_SHAPE: {
    summary: 'A YAML value has the wrong form',
    cause: 'A mapping, a list or a single value stands where another of them must.',
    action: 'Write the form that the message asks for; check the indentation and the dashes.'
  },
  CFG_YAML_SYNTAX: {
    summary: 'A file is not valid YAML',
    cause: 'Most often the indentation, a missing colon or an unclosed quote.',
    action: 'Correct the line, or the one above it.'
  }
} as const satisfies Readonly<
  Record<string, { readonly summary: string; readonly cause: string; readonly action: string }>
>

/** The name of a configuration mistake, such as `CFG_BAD_INDENT`. */
export type ErrorCode = keyof typeof ERROR_CODES
