"""The Consul edge: long polls of the catalog become one `Catalog` value.

`client` asks and knows HTTP; `decode` turns answers into model values and knows JSON; `poll` keeps the
rules of blocking queries; `assembly` puts the answers together and decides when the first catalog is
whole; `watch` runs it all. Consul is not a validator: everything it says is taken for hostile.
"""
