"""A web shop of seven tables and a million rows, and what its pages and jobs ask of them."""

from __future__ import annotations

TABLES = (
    "CREATE TABLE country (id INTEGER PRIMARY KEY, code VARCHAR(4), name TEXT)",
    """CREATE TABLE customer (id INTEGER PRIMARY KEY, email VARCHAR(80), name TEXT,
    country_id INTEGER, active INTEGER, deleted_at INTEGER, joined INTEGER)""",
    """CREATE TABLE category (id INTEGER PRIMARY KEY, slug VARCHAR(40), parent_id INTEGER)""",
    """CREATE TABLE product (id INTEGER PRIMARY KEY, sku VARCHAR(20), name TEXT,
    category_id INTEGER, price INTEGER, stock INTEGER, published INTEGER)""",
    """CREATE TABLE purchase (id INTEGER PRIMARY KEY, customer_id INTEGER, status VARCHAR(10),
    total INTEGER, made_at INTEGER)""",
    """CREATE TABLE item (id INTEGER PRIMARY KEY, purchase_id INTEGER, product_id INTEGER,
    quantity INTEGER, price INTEGER)""",
    """CREATE TABLE review (id INTEGER PRIMARY KEY, product_id INTEGER, customer_id INTEGER,
    stars INTEGER, written INTEGER, text TEXT)""",
)
SERIES = {
    "postgresql": "generate_series(1::bigint, {n}) AS s(n)",
    "sqlite": "(WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < {n})"
    " SELECT n FROM s)",
}


def rows(series: str, scale: float) -> tuple[str, ...]:
    """What fills the tables: about a million rows at scale 1."""
    customers, products = int(60_000 * scale), int(20_000 * scale)
    purchases, items, reviews = int(250_000 * scale), int(600_000 * scale), int(80_000 * scale)
    return (
        f"""INSERT INTO country SELECT n, 'c' || (n % 90), 'country ' || n
        FROM {series.format(n=90)}""",
        f"""INSERT INTO customer SELECT n, 'user' || n || '@shop.test', 'name ' || (n % 9973),
        1 + n * 7 % 90, CASE WHEN n % 20 = 0 THEN 0 ELSE 1 END,
        CASE WHEN n % 50 = 0 THEN n ELSE NULL END, n * 3 FROM {series.format(n=customers)}""",
        f"INSERT INTO category SELECT n, 'category-' || n, n / 10 FROM {series.format(n=300)}",
        f"""INSERT INTO product SELECT n, 'sku' || (n * 7919 % 1000003), 'product ' || (n % 4999),
        1 + n * 31 % 300, n * 17 % 997, n % 40, CASE WHEN n % 10 = 0 THEN 0 ELSE 1 END
        FROM {series.format(n=products)}""",
        f"""INSERT INTO purchase SELECT n, 1 + n * 7919 % {customers},
        CASE WHEN n % 200 = 0 THEN 'open' WHEN n % 30 = 0 THEN 'returned' ELSE 'paid' END,
        n * 31 % 9973, n FROM {series.format(n=purchases)}""",
        f"""INSERT INTO item SELECT n, 1 + n * 7877 % {purchases}, 1 + n * 7907 % {products},
        1 + n % 5, n % 997 FROM {series.format(n=items)}""",
        f"""INSERT INTO review SELECT n, 1 + n * 7901 % {products}, 1 + n * 7883 % {customers},
        1 + n % 5, n, 'review ' || n FROM {series.format(n=reviews)}""",
    )


SHOP = """
SELECT * FROM customer WHERE id = 77;
SELECT * FROM customer WHERE email = 'user77@shop.test';
SELECT * FROM customer WHERE lower(email) = 'user78@shop.test';
SELECT count(*) FROM customer WHERE country_id = 7 AND active = 0;
SELECT id, email FROM customer WHERE deleted_at IS NOT NULL ORDER BY deleted_at DESC LIMIT 20;
SELECT * FROM customer WHERE joined BETWEEN 300 AND 330;
SELECT * FROM product WHERE sku = 'sku7919';
SELECT * FROM product WHERE category_id = 5 AND published = 1 ORDER BY price LIMIT 20;
SELECT * FROM product WHERE category_id = 9 AND price < 20;
SELECT category_id, count(*) FROM product WHERE published = 1 GROUP BY category_id;
SELECT p.* FROM product p JOIN category c ON c.id = p.category_id
  WHERE c.slug = 'category-3' LIMIT 9;
SELECT * FROM purchase WHERE customer_id = 5 ORDER BY made_at DESC LIMIT 10;
SELECT count(*), sum(total) FROM purchase WHERE customer_id = 6;
SELECT * FROM purchase WHERE status = 'open' ORDER BY made_at LIMIT 50;
SELECT * FROM purchase WHERE status = 'returned' AND made_at > 249000;
SELECT sum(total) FROM purchase WHERE made_at BETWEEN 100000 AND 101000;
SELECT c.email, count(*) FROM customer c JOIN purchase p ON p.customer_id = c.id
  WHERE c.country_id = 3 AND c.joined < 900 GROUP BY c.email;
SELECT i.* FROM item i WHERE i.purchase_id = 99;
SELECT i.quantity, p.name FROM item i JOIN product p ON p.id = i.product_id WHERE i.purchase_id = 7;
SELECT sum(quantity) FROM item WHERE product_id = 12;
SELECT p.id, sum(i.price) FROM purchase p JOIN item i ON i.purchase_id = p.id
  WHERE p.customer_id = 9 GROUP BY p.id;
SELECT * FROM review WHERE product_id = 8 ORDER BY written DESC LIMIT 10;
SELECT avg(stars) FROM review WHERE product_id = 9;
SELECT * FROM review WHERE customer_id = 11;
SELECT * FROM product p WHERE p.category_id = 4
  AND NOT EXISTS (SELECT 1 FROM review r WHERE r.product_id = p.id);
SELECT p.name FROM product p WHERE p.id IN
  (SELECT i.product_id FROM item i JOIN purchase u ON u.id = i.purchase_id
   WHERE u.customer_id = 13);
"""
CHINOOK = """
SELECT * FROM Track WHERE Name = 'Balls to the Wall';
SELECT * FROM Track WHERE Composer = 'AC/DC' ORDER BY Name;
SELECT Name FROM Track WHERE Milliseconds > 2000000;
SELECT * FROM Track WHERE AlbumId = 5;
SELECT t.Name FROM Track t JOIN Album a ON a.AlbumId = t.AlbumId WHERE a.Title = 'Big Ones';
SELECT a.Title FROM Album a JOIN Artist r ON r.ArtistId = a.ArtistId WHERE r.Name = 'Queen';
SELECT * FROM Invoice WHERE BillingCountry = 'Norway' ORDER BY InvoiceDate;
SELECT * FROM Invoice WHERE Total > 20;
SELECT sum(l.UnitPrice * l.Quantity) FROM InvoiceLine l WHERE l.TrackId = 7;
SELECT GenreId, count(*) FROM Track WHERE UnitPrice > 1 GROUP BY GenreId;
"""
