-- How long a spec on servers waits for what is to come. `make mutants` has less of it: there most of what is
-- waited for never comes.
return os.getenv "RLAB_TEST_PATIENCE" or "60s"
