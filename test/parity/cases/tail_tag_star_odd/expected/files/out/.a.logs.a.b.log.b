{"p":"logs/a..b.log","log":"2"}
