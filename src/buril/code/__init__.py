"""Source code as data: the row schema, languages, parsing, licences."""
