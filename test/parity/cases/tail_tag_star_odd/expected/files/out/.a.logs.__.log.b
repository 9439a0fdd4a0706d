{"p":"logs/\u00e9.log","log":"5"}
