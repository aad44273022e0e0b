"""`pithgraph publish`."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import click

from pithgraph.cli import FINE, options
from pithgraph.cli.output import out, out_json, say
from pithgraph.cli.progress import PAPERS, Bar
from pithgraph.log import Log
from pithgraph.publishing import publish
from pithgraph.sources import load_keyring
from pithgraph.validation import STATED, Assurance

_ORIGIN = re.compile(r"https?://[A-Za-z0-9.-]+(?::[0-9]{1,5})?")


def _origin(_: click.Context, __: click.Parameter, url: str) -> str:
    origin = url.removesuffix("/")
    if _ORIGIN.fullmatch(origin) is None:
        raise click.BadParameter("give scheme and host alone, such as https://mirror.example")
    return origin


def _text(_: click.Context, __: click.Parameter, name: str) -> str:
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        raise click.BadParameter("it is no text in UTF-8") from None
    return name


@click.command("publish")
@options.log_folder
@click.argument("folder", metavar="OUT", type=click.Path(file_okay=False))
@click.option(
    "--base-url",
    required=True,
    callback=_origin,
    metavar="URL",
    help="What the tree is served under: scheme and host, since the published paths begin there.",
)
@click.option("--name", required=True, callback=_text, help="The mirror's name, for its manifest.")
@click.option(
    "--signing-key-id",
    "signing_key_ids",
    multiple=True,
    metavar="KEY_ID",
    help="Publish this key of the keyring, the first also in the manifest; by default the "
    "registry's keys that are not revoked. May be repeated.",
)
@click.option(
    "--withdraw",
    is_flag=True,
    help="Take away the papers of OUT that have no record any more. Without, the first such paper "
    "ends the run.",
)
@options.assurance
@options.keyring
@options.json_lines
def command(
    log_path: str,
    folder: str,
    base_url: str,
    name: str,
    signing_key_ids: tuple[str, ...],
    withdraw: bool,
    assurance: Assurance,
    keyring_path: str | None,
    as_json: bool,
) -> int:
    """Write all papers of a log as files that any web server can serve, under the published URLs.

    Of each paper that has a canonical record: its record, page, bundle, state, graph and events;
    and for all of them a manifest, the signing keys, and which paper an arXiv id means. Run it
    again into the same OUT to renew what changed since. OUT is the mirror's own folder: files of
    these names are replaced.

    \b
    pithgraph publish --log my-log public/ --base-url https://mirror.example --name Example
    """
    with Log.open(log_path) as log:
        keyring = load_keyring(keyring_path)
        with Bar("publish", lambda: _papers(log), PAPERS) as bar:
            done = publish(
                log,
                folder,
                base_url=base_url,
                name=name,
                generated_at=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
                keyring=keyring,
                signing_key_ids=signing_key_ids,
                assurance=assurance,
                withdraw=withdraw,
                progress=lambda looked: bar.update(looked, looked),
            )
    under = {"keyring_sha256": keyring.sha256, "assurance": assurance}
    if as_json:
        out_json({**done._asdict(), **under, "path": folder})
        return FINE
    out(
        f"papers: {done.papers}, written: {done.written}, withdrawn: {done.withdrawn}, "
        f"left out without a record that counts: {done.without_record}"
    )
    say(f"computed with keyring {keyring.sha256}, assurance {assurance}")
    if done.without_record and assurance != STATED:
        say(
            "unsigned rows, as of published records and states, count under --assurance stated only"
        )
    return FINE


def _papers(log: Log) -> int:
    with log.snapshot() as snapshot:
        return snapshot.paper_count
