-- What a token of an access key would say, where it is one of a role and not of its user.
ALTER TABLE longshore.access_keys ADD COLUMN claims text;
