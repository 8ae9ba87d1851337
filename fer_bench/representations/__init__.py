"""What a method sees of a scan: each representation turns a `Scan` into one array of a fixed shape."""
