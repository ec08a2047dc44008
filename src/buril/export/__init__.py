"""Models in the formats that others read, each proved equal to the one that was trained."""
