{"p":"logs/tail-.log","log":"6"}
