my.tag: [<now ns>, {"log":"a","x":"1"}]
my.tag: [<now ns>, {"log":"ab","x":"1"}]
