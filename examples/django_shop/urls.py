"""The shop's URLs."""

from django.urls import path

from . import account, catalogue, pages, reviews

urlpatterns = [
    path("", pages.front),
    path("charts", pages.charts),
    path("feed", pages.feed),
    path("artists", catalogue.artists),
    path("artists/<int:artist_id>", catalogue.artist),
    path("albums/<int:album_id>", catalogue.album),
    path("albums/<int:album_id>/reviews", reviews.Reviews.as_view()),
    path("tracks/<int:track_id>", catalogue.track),
    path("tracks/<int:track_id>/price", catalogue.set_price),
    path("genres", catalogue.genres),
    path("genres/<int:genre_id>", catalogue.genre),
    path("search", catalogue.search),
    path("customers/me", account.me),
    path("basket", account.basket),
]
