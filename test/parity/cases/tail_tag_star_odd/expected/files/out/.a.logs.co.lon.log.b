{"p":"logs/co:lon.log","log":"3"}
