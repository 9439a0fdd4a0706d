{"p":"logs/back\\slash.log","log":"4"}
