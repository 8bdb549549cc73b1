"""What customers say of the albums."""

# Django comes without types.
# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportOptionalMemberAccess=false

from __future__ import annotations

from typing import TYPE_CHECKING

from django.http import HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404
from django.views import View

from apsperf_django import cached

from .account import customer, sign_in_first
from .forms import ReviewForm, sent, taken
from .models import Album, Review

if TYPE_CHECKING:
    from django.http import HttpRequest

SHOWN = ("id", "author", "stars", "text")


class Reviews(View):
    """An album's reviews."""

    @cached(ttl="medium", shared=True)
    def get(self, _: HttpRequest, album_id: int) -> JsonResponse:
        """The newest first."""
        found = get_object_or_404(Album, pk=album_id)
        return JsonResponse(list(found.reviews.order_by("-id").values(*SHOWN)[:50]), safe=False)

    def post(self, request: HttpRequest, album_id: int) -> HttpResponse:
        """Add one. A POST that succeeds voids what is stored for its own URL: the list above."""
        author = customer(request)
        if author is None:
            return sign_in_first()
        new = taken(ReviewForm(sent(request)))
        album = get_object_or_404(Album, pk=album_id)
        review = Review.objects.create(album=album, author=author.first_name, **new)
        return JsonResponse({name: getattr(review, name) for name in SHOWN}, status=201)
