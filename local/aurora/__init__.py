"""A local Aurora MySQL: a private MariaDB behind a gateway that understands LOAD DATA FROM S3."""
