"""``seqlab push bundle=DIR to=OWNER/NAME``: a bundle to the Hugging Face Hub."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from seqlab import progress
from seqlab.verbs.arguments import read_arguments

CHOICES = {
    "bundle": "DIR",
    "to": "OWNER/NAME",
    "private": ("true", "false"),
    "revision": "BRANCH",
    "message": "TEXT",
}
HELP = """usage: seqlab push bundle=DIR to=OWNER/NAME [private=true|false] [revision=BRANCH]
                   [message=TEXT]

Uploads the files of a bundle to a repository of models on the Hugging Face Hub, which is made if
there is none of that name. Every file must be as the manifest says; others are left out.

  bundle=    the folder that `seqlab train` wrote
  to=        the repository
  private=   whether a new repository is to be private
  revision=  the branch (main)
  message=   of the commit

Log in first with `hf auth login`, or set HF_TOKEN. HF_ENDPOINT names another server.
Anybody may then say: seqlab.from_pretrained("OWNER/NAME")
"""


def run(words: Sequence[str]) -> int:
    """Upload, and print the address of the commit; always 0.

    Raises:
        ConfigError: a word is not understood.
        SeqlabError: see ``seqlab.bundle.hub.push``.
    """
    given = read_arguments(words, CHOICES, required=("bundle", "to"))
    from seqlab.bundle.hub import push

    private = given.get("private")
    with progress.stage("uploading", summary=False):
        address = push(
            given["bundle"],
            given["to"],
            private=None if private is None else private == "true",
            revision=given.get("revision"),
            message=given.get("message"),
        )
    sys.stdout.write(f"{address}\n")
    return 0
