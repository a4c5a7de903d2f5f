"""Runs events and workflows on django-q2. Add `automation.q2_executor` and `django_q` to INSTALLED_APPS."""
