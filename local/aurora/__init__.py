"""A local Aurora MySQL: a private server, MariaDB or MySQL, behind a gateway that understands LOAD DATA FROM S3."""
