-- What the local stack grants, too: experiments make a schema each, and users.
GRANT ALL PRIVILEGES ON *.* TO 'rlab'@'%' WITH GRANT OPTION;
