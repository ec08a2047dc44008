"""Whether the tests of a repository tell two texts of a pair apart: both are put in their place and the tests run."""
