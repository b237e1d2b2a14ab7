"""Where a provider is asked and with what: the part of a connection that is never written down anywhere."""

from dataclasses import dataclass

NO_CREDENTIALS = "none was given: name a connection in grid.connection, or set LOWTIDE_GRID_TOKEN"


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """Base address, login and token (or password) of a provider; all None for its public address.

    Never serialized and never logged: it holds a secret. ``place`` says where a person mends it.
    """

    base_url: str | None = None
    login: str | None = None
    token: str | None = None
    place: str = NO_CREDENTIALS

    def __repr__(self) -> str:
        shown = {name: "***" if getattr(self, name) else None for name in ("login", "token")}
        address = (self.base_url or "").rpartition("@")[2] or None  # what stands before an @ may be a password
        return f"Access(base_url={address!r}, login={shown['login']!r}, token={shown['token']!r}, place={self.place!r})"

    def anonymous(self) -> "Access":
        """Return the same address without the credentials, for a provider that they are not meant for."""
        return Access(base_url=self.base_url, place=self.place)
