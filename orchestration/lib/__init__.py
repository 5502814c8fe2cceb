"""What several topics of `defs/` share."""
