"""A web shop: its tables, some ten thousand rows, and what is asked of them."""

from __future__ import annotations

TABLES = (
    """CREATE TABLE customer (id INTEGER PRIMARY KEY, email VARCHAR(60), name TEXT,
    country VARCHAR(2), deleted_at TIMESTAMP)""",
    """CREATE TABLE purchase (id INTEGER PRIMARY KEY, customer_id INTEGER REFERENCES customer (id),
    status VARCHAR(10), total INTEGER, made_at INTEGER)""",
    """CREATE TABLE item (id INTEGER PRIMARY KEY, purchase_id INTEGER REFERENCES purchase (id),
    sku VARCHAR(20), price INTEGER)""",
    "CREATE INDEX purchase_status ON purchase (status)",
    "CREATE INDEX purchase_status_total ON purchase (status, total)",
)
CUSTOMERS, PURCHASES, ITEMS = 4_000, 20_000, 60_000
SERIES = {
    "postgresql": "generate_series(1, {n}) AS s(n)",
    "sqlite": "(WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < {n})"
    " SELECT n FROM s)",
}


def rows(series: str) -> tuple[str, ...]:
    """What fills the tables."""
    return (
        f"""INSERT INTO customer SELECT n, 'user' || n || '@shop.test', 'name ' || (n % 997),
        CASE n % 7 WHEN 0 THEN 'SE' WHEN 1 THEN 'DE' ELSE 'FR' END, NULL
        FROM {series.format(n=CUSTOMERS)}""",
        f"""INSERT INTO purchase SELECT n, 1 + n * 7919 % {CUSTOMERS},
        CASE WHEN n % 100 = 0 THEN 'open' ELSE 'paid' END, n * 31 % 9973, n
        FROM {series.format(n=PURCHASES)}""",
        f"""INSERT INTO item SELECT n, 1 + n * 7877 % {PURCHASES}, 'sku' || (n % 4999), n % 7
        FROM {series.format(n=ITEMS)}""",
    )


ROWS = {system: rows(series) for system, series in SERIES.items()}
BY_EMAIL = "SELECT * FROM customer WHERE email = 'user77@shop.test'"
NEWEST = "SELECT * FROM purchase WHERE customer_id = 5 ORDER BY made_at DESC LIMIT 10"
BY_KEY = "SELECT * FROM customer WHERE id = 7"
ITEMS_OF = """SELECT item.sku, item.price FROM purchase JOIN item ON item.purchase_id = purchase.id
WHERE purchase.customer_id = 9"""
