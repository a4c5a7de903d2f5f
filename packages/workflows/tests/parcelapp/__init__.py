"""A tiny shop of parcels: the models that the tests' workflows are about."""
