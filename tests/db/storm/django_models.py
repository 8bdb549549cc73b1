"""The tables of a storm as Django has them."""

# Django comes without types.
# pyright: reportIncompatibleVariableOverride=false

from __future__ import annotations

from django.db import models


class KV(models.Model):
    k = models.IntegerField(primary_key=True)
    v = models.IntegerField()

    class Meta:
        app_label, db_table, managed = "storm", "kv", False


class Seen(models.Model):
    k = models.IntegerField(primary_key=True)
    v = models.IntegerField()

    class Meta:
        app_label, db_table, managed = "storm", "seen", False


class Label(models.Model):
    k = models.IntegerField(primary_key=True)
    name = models.TextField()
    kv = models.ForeignKey(KV, models.DO_NOTHING)

    class Meta:
        app_label, db_table, managed = "storm", "label", False


class Inbox(models.Model):
    k = models.IntegerField(primary_key=True)
    n = models.IntegerField()

    class Meta:
        app_label, db_table, managed = "storm", "inbox", False


class Child(models.Model):
    parent_id = models.IntegerField()

    class Meta:
        app_label, db_table, managed = "storm", "child", False


class Bulk(models.Model):
    k = models.IntegerField(primary_key=True)
    v = models.IntegerField()

    class Meta:
        app_label, db_table, managed = "storm", "bulk", False


class Wide(models.Model):
    v = models.IntegerField()

    class Meta:
        app_label, db_table, managed = "storm", "wide", False
