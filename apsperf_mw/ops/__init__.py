"""What is answered before the app: health, readiness, and metrics for a scraper."""
