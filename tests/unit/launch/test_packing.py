"""Secrets, what links lead to, and what is no plain file stay here, and are said; what is listed is what is sent."""

from __future__ import annotations

import os
import socket
import sys
import zipfile
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

from robonav_ray import cli
from robonav_ray.launch import packing
from robonav_ray.launch.packing import IGNORED, OUTSIDE, SECRET, PackageError, collect_package
from robonav_ray.launch.secret_names import FOLDERS, is_secret_name, rsync_patterns
from robonav_ray.launch.submit import Submission, SubmitError
from robonav_ray.screen import make_screen
from robonav_ray.verbs.job_commands import submit_command

KEY = "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEAAAAABG5vbmU=\n"
SECRETS = [
    ".env", ".env.local", "prod.env", ".ENV", ".envrc", ".netrc", "_netrc", "server.pem", "SERVER.PEM", "tls.key",
    "id_rsa", "id_ed25519.bak", "a.p12", "a.pfx", "a.jks", "a.kdbx", ".npmrc", ".pypirc", ".git-credentials",
    ".docker/config.json", ".kube/config", ".azure/token.json", ".config/gcloud/credentials.db", "terraform.tfstate",
    "terraform.tfstate.backup", "credentials.json", "service-account-prod.json", "secrets.yml", "Secrets.YAML",
    ".htpasswd", ".pgpass", ".my.cnf", "auth_token", ".vault-token", ".gnupg/private-keys-v1.d/x.key",
    ".password-store/a.gpg", ".ssh/known_hosts", ".aws/config", "sub/dir/.aws/credentials", ".huggingface/token",
    "kaggle.json", ".bash_history", "deploy/prod.tfvars", "key.asc", "release-key.asc", ".Renviron",
]  # fmt: skip
CALLED_LIKE_SECRETS = [
    ".env~", ".env.bak", ".env.bak~", ".env2", ".netrc~", ".netrc.swp", "server.pem.bak", "id_rsa.old",
    ".token.txt.swp", "credentials.csv", "credentials.csv.1", "credentials (1).csv", "credentials copy.csv",
    "rootkey.csv", "alice_accessKeys.csv", "access-keys-2.csv", "passwords.csv", "Copy of passwords.csv", "passwd.bak",
    "aws_credentials", "prod.credentials.json", "hf_token.txt", "tokens.txt", "auth_tokens.json", "api-key.txt",
    "openai_apikey", "my-secret.yaml", "MY_PRIVATE_KEY.txt",
]  # fmt: skip
CALLED_OTHERWISE = [
    "tokenizer.py", "tokenizer.json", "tokenizer_config.json", "secret_names.py", "test_tokens.py", "token.py",
    "credentials.py", "passwords.md", "monkey.txt", "keyboard.json", "keys.json", "keyframes.csv",
]  # fmt: skip
PLAIN = [
    "run.yaml",
    ".env.example",
    ".env.sample",
    "keyboard.py",
    "tokenizer.py",
    "secrets.py",
    "monkey.txt",
    "env/x.py",
    "a b[/]c.txt",
]


def put(root: Path, name: str, text: str = "x") -> None:
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_text(text)


def sent(root: Path, tmp: Path, include: tuple[str, ...] = ()) -> dict[str, bytes]:
    """What a node would unpack."""
    archive = tmp / "sent.zip"
    package = collect_package(root, [Path(name) for name in include])
    package.write(archive)
    with zipfile.ZipFile(archive) as opened:
        assert opened.namelist() == [name + "/" * file.is_folder for name, file in sorted(package.files.items())]
        return {name: opened.read(name) for name in opened.namelist()}


SECRETS_WITHIN = [
    "export AWS_SECRET_ACCESS_KEY=wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY\n",
    "[default]\naws_secret_access_key = wJalrXUtnFEMI/K7MDENG/b",
    '{"SecretAccessKey": "wJalrXUtnFEMI/K7MDENG"}', "WANDB_API_KEY='0123456789abcdef0123'", "DB_PASSWORD=hunter22\n",
    'client("s3", aws_secret_access_key="wJalr1XUtn")', "password: 2hunter2hunter2hunter", "apiKey: 'sk-api03-abc'",
    "TOKEN=ghp_16C7\r\n", "---- BEGIN SSH2 ENCRYPTED PRIVATE KEY ----\n",
    "-----BEGIN PGP PRIVATE KEY BLOCK-----\n\nlQOYBF", "AGE-SECRET-KEY-1QQQQQQQQQQQQQQQQ",
]  # fmt: skip
NO_SECRETS_WITHIN = [
    "AWS_SECRET_ACCESS_KEY=$KEY2_OF_MINE\n", "AWS_SECRET_ACCESS_KEY=...\n", 'api_key = os.environ["API_KEY_2"]\n',
    "KEY_TOKEN: ${KEY12345}", "token = encoder2token\n", "max_tokens: 16384", "WANDB_API_KEY=<your key 1>",
    'pad_token="<pad>"', "AUTH_TOKEN_PATH=/run/auth_token1",
    "private_key: ~/.ssh/id_ed25519", "token: /run/secrets/ray_token_2024", "password = getpass2()",
    "secret: the-secret-name",
]  # fmt: skip


@pytest.mark.parametrize(("texts", "why"), [(SECRETS_WITHIN, SECRET), (NO_SECRETS_WITHIN, None)])
def test_a_secret_is_known_by_how_it_is_written(tmp_path: Path, texts: list[str], why: str | None) -> None:
    for number, text in enumerate(texts):
        put(tmp_path, f"{number}.txt", text)
    left = collect_package(tmp_path).left_out
    assert {text: left.get(f"{number}.txt") for number, text in enumerate(texts)} == dict.fromkeys(texts, why)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    root = tmp_path / "project"
    for name in (*SECRETS, *PLAIN):
        put(root, name)
    put(root, "notes.txt", KEY)
    put(root, "deep/config.cfg", f"key = x\n{KEY}")
    put(root, "docs.md", "a PEM file begins with -----BEGIN PRIVATE KEY----- and so on\n")
    return root


def test_secrets_stay_and_are_said(project: Path, tmp_path: Path) -> None:
    package = collect_package(project)
    assert set(package.files) == {*PLAIN, "docs.md"}
    assert set(sent(project, tmp_path)) == {*PLAIN, "docs.md"}
    left = {name for name, why in package.left_out.items() if why == SECRET}
    for name in (*SECRETS, "notes.txt", "deep/config.cfg"):
        assert any(name == one or name.startswith(one) for one in left), name
    assert f"({len(left)}: may hold a secret)" in package.summary_text()
    assert ".aws/" in package.summary_text()


def test_a_secret_travels_when_it_is_named(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = sent(project, tmp_path, (".env", ".aws", "deep/config.cfg"))
    assert set(found) == {*PLAIN, "docs.md", ".env", ".aws/config", "deep/config.cfg"}
    monkeypatch.chdir(project)
    assert ".netrc" in collect_package(Path(), [Path(".netrc")]).files
    for name in ("nowhere", "../other", "."):
        with pytest.raises(PackageError, match=f"--include {name}"):
            collect_package(project, [Path(name)])


def test_links_that_lead_out_stay_and_those_within_are_followed(project: Path, tmp_path: Path) -> None:
    put(tmp_path, "outside/data.txt", "private")
    for name, target in {
        "out.txt": "../outside/data.txt", "out": "../outside", "abs": str(tmp_path / "outside"), "in.txt": "run.yaml",
        "in": "env", "innocent.txt": ".env", "innocent": ".aws", "circle": ".", "env/up": "..", "self": "self",
        "nowhere": "missing",
    }.items():  # fmt: skip
        (project / name).symlink_to(target)
    package = collect_package(project)
    assert {n: w for n, w in package.left_out.items() if w != SECRET} == {
        "out.txt": OUTSIDE, "out/": OUTSIDE, "abs/": OUTSIDE, "circle/": "is a link in a circle",
        "env/up/": "is a link in a circle", "in/up/": "is a link in a circle", "self": "is a link that leads nowhere",
        "nowhere": "is a link that leads nowhere",
    }  # fmt: skip
    assert package.left_out["innocent.txt"] == package.left_out["innocent/"] == SECRET
    found = sent(project, tmp_path, ("out.txt",))
    assert found["out.txt"] == b"private"
    assert found["in.txt"] == found["in/x.py"] == b"x"
    assert b"private" not in b"".join(sent(project, tmp_path).values())


def test_what_is_no_plain_file_stays_and_nothing_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "p"
    put(root, "run.yaml")
    put(root, "back\\slash")
    (root / "empty").mkdir()
    os.mkfifo(root / "pipe")
    (root / os.fsdecode(b"bad\xff")).write_text("x")
    monkeypatch.chdir(root)  # a socket's path is short
    with socket.socket(socket.AF_UNIX) as door:
        door.bind("door")
        package = collect_package(root)
    assert set(package.files) == {"run.yaml", "empty"}
    assert package.left_out["pipe"] == package.left_out["door"] == "is no plain file"
    assert package.left_out["back\\slash"] == "has a name that Ray does not unpack"
    assert r"bad\udcff" in package.table_text()
    monkeypatch.setattr(packing, "MAX_ENTRIES", 3)
    with pytest.raises(PackageError, match="more than 3 files"):
        collect_package(root)


def test_ignored_files_stay_also_behind_a_link(tmp_path: Path) -> None:
    root = tmp_path / "p"
    for name in ("data/large", "keep.txt", "sub/x.log", "sub/y.txt", ".venv/lib/x.py"):
        put(root, name)
    put(root, ".gitignore", "data/\n")
    put(root, "sub/.rayignore", "*.log\n")
    (root / "link").symlink_to("data/large")
    package = collect_package(root)
    assert set(package.files) == {".gitignore", "keep.txt", "sub/.rayignore", "sub/y.txt"}
    assert package.left_out == dict.fromkeys(("data/", "sub/x.log", ".venv/", "link"), IGNORED)


def test_the_same_files_are_the_same_archive(project: Path, tmp_path: Path) -> None:
    collect_package(project).write(tmp_path / "a.zip")
    os.utime(project / "run.yaml", (0, 0))
    collect_package(project).write(tmp_path / "b.zip")
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()


def test_a_dry_run_lists_and_asks_no_cluster(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / "run.yaml").write_text("name: here\n")
    words = [
        "submit",
        str(project / "run.yaml"),
        "--working-dir",
        str(project),
        "--dry-run",
        "--address",
        "http://127.0.0.1:1",
    ]
    monkeypatch.setattr(sys, "argv", ["robonav", *words])
    with pytest.raises(SystemExit) as end:
        cli.main()
    out = capsys.readouterr().out
    assert end.value.code == 0
    assert "robonav train run.yaml" in out
    assert "  a b[/]c.txt" in out
    assert "left out  .ssh/: may hold a secret" in out
    assert "nothing was sent" in out


def test_a_config_that_would_stay_is_refused(project: Path) -> None:
    submission = Submission("train", project / "secrets.yml", [], working_dir=project)
    (project / "secrets.yml").write_text("name: here\n")
    with pytest.raises(SubmitError, match=r"would stay here \(may hold a secret\); --include it"):
        submit_command(submission, None, follow=False, console=make_screen(), dry_run=True)


def test_ray_up_copies_no_secrets_either(tmp_path: Path) -> None:
    patterns = rsync_patterns()
    assert "*.[pP][eE][mM]" in patterns
    for name in (*SECRETS, *CALLED_LIKE_SECRETS, *(f"{folder}/" for folder in FOLDERS)):
        assert any(fnmatchcase(part, pattern) for part in name.split("/") for pattern in patterns), name
    for name in CALLED_OTHERWISE:
        assert not any(fnmatchcase(name, pattern) for pattern in patterns), name


@pytest.mark.parametrize("name", CALLED_LIKE_SECRETS)
def test_a_secret_is_known_by_its_word_and_by_the_name_that_it_is_a_copy_of(name: str) -> None:
    assert is_secret_name(["sub", name])
    assert is_secret_name(["sub", name.upper()])


def test_sources_and_pages_about_secrets_travel() -> None:
    kept = [name for name in (*CALLED_OTHERWISE, "special_tokens_map.json", "secretary.txt") if is_secret_name([name])]
    assert kept == []
    for name in ("token_ring", "next_token_prediction", "secret_garden", "tokenizer"):
        assert not is_secret_name([name], is_folder=True), name
    for name in (".ssh.bak", ".ssh2", ".aws_old", "secrets.old", "secrets", ".Secrets"):
        assert is_secret_name([name], is_folder=True), name


def test_ray_unpacks_what_was_listed(project: Path, tmp_path: Path) -> None:
    from ray._private.runtime_env.packaging import unzip_package

    package = collect_package(project)
    package.write(tmp_path / "sent.zip")
    unzip_package(
        str(tmp_path / "sent.zip"), str(tmp_path / "node"), remove_top_level_directory=False, unlink_zip=False
    )
    assert {p.relative_to(tmp_path / "node").as_posix() for p in (tmp_path / "node").rglob("*") if p.is_file()} == set(
        package.files
    )
