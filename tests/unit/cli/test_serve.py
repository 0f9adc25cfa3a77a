"""Flags of `serve`, without a server."""

from __future__ import annotations

from tests.support.cli_runs import Cli


def test_serve_names_an_upload_limit_that_is_none(cli: Cli) -> None:
    done = cli("serve", "--max-upload", "25 parsecs")
    assert done.code == 2
    assert "max_upload_bytes: '25 parsecs' is not allowed; a whole number" in done.err
    assert "or a size such as 25MB (from --max-upload)" in done.err
