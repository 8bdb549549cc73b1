"""The record shop with Django, its ORM and its templates.

Its pages are for everybody whatever a cookie says (`shared`), but for the customer's and the
basket.

python -m examples.django_shop runserver
"""
