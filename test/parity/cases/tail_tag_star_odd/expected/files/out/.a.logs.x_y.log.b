{"p":"logs/x y.log","log":"1"}
