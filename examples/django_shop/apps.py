"""The shop as a Django app."""

from django.apps import AppConfig


class Shop(AppConfig):
    """Its label is short, for its tables are Chinook's."""

    name = "examples.django_shop"
    label = "shop"
