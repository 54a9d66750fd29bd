"""How scripts and styles are stored for browsers: without their comments, named by content, compressed.

The sources stay readable; what a person loads is about a third smaller. `collectstatic` does it once.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import rcssmin
import rjsmin
from django.core.files.storage import Storage
from whitenoise.storage import CompressedManifestStaticFilesStorage

_MINIFIERS = {".css": rcssmin.cssmin, ".js": rjsmin.jsmin}

#: Where a file comes from: a storage and its path there.
Source = tuple[Storage, str]


class MinifiedStaticFilesStorage(CompressedManifestStaticFilesStorage):  # type: ignore[misc]  # untyped
    """WhiteNoise's storage with smaller files; licences (`/*!`) stay in them."""

    def post_process(
        self,
        paths: Mapping[str, Source],
        dry_run: bool = False,  # noqa: FBT001, FBT002  # the signature is Django's
        **options: Any,
    ) -> Iterator[tuple[str, str | None, Any]]:  # Any: as Django's own storage
        """Make the collected files smaller, then let them be named after what they hold now."""
        if not dry_run:
            paths = {name: self._minified(name, source) for name, source in paths.items()}
        yield from super().post_process(paths, dry_run=dry_run, **options)

    def _minified(self, name: str, source: Source) -> Source:
        """Write the smaller file where it was collected to; others stay where they are."""
        minify = _MINIFIERS.get(PurePosixPath(name).suffix)
        if minify is None or ".min." in name:
            return source
        storage, path = source
        with storage.open(path) as file:
            text = file.read().decode()
        Path(self.path(name)).write_text(minify(text, keep_bang_comments=True), encoding="utf-8")
        return self, name
