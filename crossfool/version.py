"""The version of this package, as artefacts' metadata name it, and that of its leaderboard."""

VERSION = "0.2.0"
# Raised when ranks can no longer be compared with earlier ones: other images, models, epsilon, budgets or tuning of
# rows that stay. Its commit gets the tag leaderboard-VERSION, with which later ranks are compared.
LEADERBOARD_VERSION = "1"
