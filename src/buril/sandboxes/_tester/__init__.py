"""What runs inside the jail where the tests of a repository are run: plain Python 3.8 and nothing else of ours."""
