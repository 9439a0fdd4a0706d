{"message":"dummy","re":"1","both":"1","icase":"1"}
