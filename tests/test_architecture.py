"""The drawing holds: imports point one way, light rooms stay light, every room says what flows through it."""

import ast
import json
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "robonav_ray"
PROOFS = ROOT / "proofs"
ON_ROBOTS = ROOT / "robonav_policy"
ROOMS = sorted(p.parent.relative_to(ROOT).as_posix() for tree in (PACKAGE, PROOFS) for p in tree.glob("*/__init__.py"))


LIGHT = {
    "import robonav_ray": "torch ray numpy numba gymnasium pydantic rich psutil pynvml",
    "import robonav_ray.records": "torch ray numba tensorboard matplotlib",
    "import robonav_ray.config": "torch ray numba tensorboard matplotlib",
    "import robonav_ray.worlds": "torch ray numba tensorboard matplotlib",
    "import gymnasium; assert 'robonav_ray/Nav-v0' in gymnasium.registry": "torch ray numba",
    "import robonav_ray.cli": "torch ray tensorboard matplotlib",
    "robonav_ray.CurriculumLearningSystem()": "torch ray",
    "import robonav_ray.curriculum.curriculum": "torch ray",
    "import robonav_ray.league.league, robonav_ray.league.snapshots": "torch ray",
    "import robonav_ray.algo.policy, robonav_ray.algo.exploration, robonav_ray.algo.n_step": "torch ray",
    "import robonav_ray.worlds.make": "torch ray",
    "import robonav_ray.planners.orca": "torch ray",
    "import robonav_ray.replay.shard": "torch ray",
    "import robonav_ray.rollout.worker": "torch ray",
    "import robonav_ray.runtime.examination.examine, robonav_ray.fronts.foreign_policies": "torch ray",
    "import robonav_ray.deploy.serving, robonav_ray.deploy.door": "torch ray",
    "import robonav_ray.tuning.space": "torch ray",
    "import robonav_ray.tuning.mutations": "torch ray",
    "import robonav_ray.tuning.pb2": "torch ray",
    "import robonav_ray.tuning.samplers": "torch ray",
    "import robonav_ray.tuning.samplers.bayesian": "torch ray",
    "import robonav_ray.tuning.samplers.optuna_study": "torch ray",
}
"""What is done, and the modules that are not loaded afterwards. All in one interpreter, in this order."""
PROBE = """
import json, sys
found = {}
for step, heavy in json.loads(sys.argv[1]).items():
    exec(step)
    found[step] = sorted(set(heavy.split()) & sys.modules.keys())
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def loaded() -> dict[str, list[str]]:
    """Return the heavy modules that a fresh interpreter holds after each step."""
    done = subprocess.run(
        [sys.executable, "-c", PROBE, json.dumps(LIGHT)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("step", LIGHT)
def test_what_is_light_loads_nothing_heavy(loaded: dict[str, list[str]], step: str) -> None:
    first = next((one for one, heavy in loaded.items() if heavy), None)
    assert not loaded[step], f"already after: {first}"


def test_import_contracts_hold() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "from importlinter.cli import lint_imports_command as c; c()"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("room", ROOMS)
def test_every_room_says_what_it_consumes_produces_and_waits_for(room: str) -> None:
    text = (ROOT / room / "__init__.py").read_text()
    for word in ("Consumes:", "Produces:", "Waits for:"):
        assert word in text, f"{room}/__init__.py"


def test_remote_calls_stay_in_remote_files() -> None:
    allowed = re.compile(r"(remote\.py|(runtime|nodes)/.*)$")
    guilty = [p for p in PACKAGE.rglob("*.py") if not allowed.search(p.as_posix()) and ".remote(" in p.read_text()]
    assert guilty == []


def test_no_file_has_outgrown_the_head() -> None:
    files = (path for tree in (PACKAGE, ON_ROBOTS, PROOFS, ROOT / "scripts") for path in tree.rglob("*.py"))
    long = {p.relative_to(ROOT).as_posix(): n for p in files if (n := len(p.read_text().splitlines())) > 400}
    assert long == {}


def test_no_two_files_of_tests_have_one_name() -> None:
    """Pytest imports a test file by its base name: a second one of that name cannot be collected beside it."""
    names = Counter(path.name for path in (ROOT / "tests").rglob("test_*.py"))
    assert [name for name, count in names.items() if count > 1] == []


def test_no_room_has_outgrown_the_head() -> None:
    folders = (path for tree in (PACKAGE, PROOFS) for path in (tree, *tree.rglob("*")) if path.is_dir())
    full = {path.relative_to(ROOT).as_posix(): n for path in folders if (n := len(list(path.glob("*.py")))) > 25}
    assert full == {}


NO_LOGIC = re.compile(r"|#.*|(from .* )?import .*|[()\[\]{}, ]+|\w+(: [^=]+)?( = \S+)?,")
"""Lines that do nothing: blanks, comments, imports, brackets, and a name or a parameter alone."""


def test_no_dozen_lines_stand_twice() -> None:
    first: dict[tuple[str, ...], str] = {}
    twice = []
    for path in (path for tree in (PACKAGE, ON_ROBOTS, PROOFS, ROOT / "tests") for path in sorted(tree.rglob("*.py"))):
        lines = [
            (n, text)
            for n, line in enumerate(path.read_text().splitlines(), 1)
            if not NO_LOGIC.fullmatch(text := line.strip())
        ]
        for start in range(len(lines) - 11):
            place = f"{path.relative_to(ROOT)}:{lines[start][0]}"
            before = first.setdefault(tuple(text for _, text in lines[start : start + 12]), place)
            if before != place:
                twice.append(f"{before} and {place}")
    assert twice == [], "one of them is too many: give what they share a name"


def test_nothing_is_pickled_to_disk() -> None:
    guilty = [
        p
        for p in PACKAGE.rglob("*.py")
        if re.search(r"\b(import pickle|torch\.load\(|allow_pickle=True)", p.read_text())
    ]
    assert guilty == []


BARE = re.compile(
    r"(?<!plain_files)\.(read_text|read_bytes|write_text|write_bytes|touch|open)\(|(?<![\w.])open\(|fdopen\(|os\.open\("
    r"|np\.(load|savez?\w*)\(|(?<!import )\b(safe_open|load_file|save_file)\("
)
OPENED_ELSEWHERE = {
    "compiled.py": "our own sources, and a folder that is made for its user alone; the lowest layer",
    "config/preset.py": "shipped with the package",
    "worlds/maps/kept.py": "our own cache: a new file of this user alone, renamed when whole",
    "deploy/graph.py": "into memory",
    "fronts/device_memory.py": "/proc and cgroups",
    "fronts/own_tracking/made_files.py": "inside of replacing",
    "fronts/device_manager.py": "/proc",
    "pipeline/notice_process.py": "its standard output, and /dev/null",
    "replay/memory.py": "cgroups",
    "own_processes.py": "/proc",
    "nodes/reaper.py": "/proc",
    "nodes/private_folder.py": "its own flags: new, no link, only its owner",
    "launch/local_state.py": "a folder, to lock it",
    "launch/compose.py": "a secret, by the healthcheck of a container",
    "launch/dashboard.py": "a URL",
    "tracking/mlflow_backend.py": "a picture, from bytes that plain_files has read",
    "tracking/tensorboard/embeddings.py": "after open_reading",
    "tracking/tensorboard/summaries.py": "a picture, from bytes that plain_files has read",
    "tracking/wandb/access.py": "a URL",
    "tuning/trial_run.py": "a method of its own",
    "learner/state.py": "after vetting and open_reading",
    "learner/tree_file.py": "after open_reading, and inside of replacing_path",
    "learner/bad_batches.py": "inside of replacing_path",
    "replay/shard_files.py": "after vetting and open_reading",
    "pipeline/side_by_side.py": "its standard output",
    "runs/freeing.py": "after vetting",
    "runs/policies.py": "after vetting",
    "runtime/judging/showcase.py": "an archive in a file that plain_files has opened",
    "runtime/local.py": "after vetting; written into a folder that has just been made",
    "runs/vetting.py": "a member of an archive",
    "runtime/streams.py": "/dev/null",
    "runtime/examination/worker.py": "its standard output",
    "runtime/self_play/match_process.py": "its standard output",
    "launch/packing.py": "a member of the archive that is written",
    "worlds/cases.py": "bytes that plain_files has read",
    "worlds/maps/read_map.py": "an image in a file that plain_files has opened",
}
"""Files of the package that open something by other means than plain_files, and why they may."""


def test_files_are_opened_by_plain_files_alone() -> None:
    found = {
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*.py")
        if path.name != "plain_files.py"
        and any(BARE.search(line.partition("#")[0]) for line in path.read_text().splitlines())
    }
    assert found == OPENED_ELSEWHERE.keys(), "open files with robonav_ray.files.plain_files; docs/security.md says why"


PROBED = {
    "algo/own_network.py": "the user's network",
    "config/yaml_document.py": "PyYAML's events and errors",
    "fronts/compare_call.py": "what the user gives as an entrant",
    "fronts/curriculum_objective.py": "a trial of Optuna, or what the user gives in its place",
    "fronts/device_manager.py": "what psutil has on this platform",
    "fronts/device_memory.py": "what the C library and os have on this platform",
    "fronts/studies/ab_call.py": "what the user gives as an entrant",
    "fronts/study/study_loop.py": "the user's function",
    "fronts/user_batch.py": "the user's batch",
    "learner/tensor_tree.py": "the user's dataclasses and named tuples",
    "learner/trainer_remote.py": "an error of Ray Train",
    "nodes/connection.py": "the notes of any exception",
    "nodes/doctor.py": "what os has on this platform",
    "ranges.py": "an error that came through Ray, which brings its cause",
    "runs/taking_up.py": "an error that came through Ray, which brings its cause",
    "runtime/signals.py": "a signal handler: a function, or one of Python's numbers",
    "runtime/streams.py": "standard output as a program has replaced it",
    "runtime/watching.py": "a signal handler: a function, or one of Python's numbers",
    "screen.py": "standard output as a program has replaced it; IPython, where it is loaded",
    "tuning/keys.py": "an annotation of Python",
    "tuning/session.py": "a checkpoint of Ray Tune",
    "user_code.py": "what the user's name stands for",
    "verbs/exit_codes.py": "the notes of any exception",
    "worlds/foreign/guard.py": "an environment of the user",
    "worlds/foreign/registered.py": "an environment of the user, and its module",
    "worlds/goal_vector.py": "an environment of the user",
    "worlds/make.py": "an environment of the user",
    "worlds/told.py": "a wrapper of Gymnasium, or of the user",
}
"""Files that ask an object whether it has something, and whose object that is: of ours, a Protocol says what it has."""


def _is_probe(node: ast.AST) -> bool:
    if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name)):
        return False
    return node.func.id in ("hasattr", "callable") or (node.func.id == "getattr" and len(node.args) == 3)


def test_only_foreign_objects_are_asked_what_they_have() -> None:
    found = {
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*.py")
        if any(_is_probe(node) for node in ast.walk(ast.parse(path.read_text())))
    }
    assert found == PROBED.keys(), "declare it in a Protocol of interfaces.py, so that a misspelt name is a type error"


def test_an_arrow_has_at_most_three_methods() -> None:
    tree = ast.parse((PACKAGE / "interfaces.py").read_text())
    methods = {
        node.name: [part.name for part in node.body if isinstance(part, ast.FunctionDef)]
        for node in tree.body
        if isinstance(node, ast.ClassDef)
    }
    assert {name: names for name, names in methods.items() if len(names) > 3} == {}


def test_only_verbs_own_the_terminal() -> None:
    """A call inside a user's program prints plain lines (``plain_screen``), or to the screen that it is given."""
    makers = {p.relative_to(PACKAGE).parts[0] for p in PACKAGE.rglob("*.py") if "make_screen(" in p.read_text()}
    assert makers == {"verbs", "screen.py"}


def test_what_is_printed_is_text_and_never_markup() -> None:
    """Only screen.py makes a console, a log handler or a line for standard output: a forgotten escape cannot happen
    elsewhere."""
    forbidden = {
        r"\brich\.print\b|from rich import print": "rich.print reads markup",
        r"\bConsole\(|\bRichHandler\(": "screen.py makes the consoles",
        r"from_markup|\bmarkup=True": "a text is no markup",
        r"\btyper\.echo\(f?\"(?!robonav_ray \{)|\bclick\.echo\(": "screen.say and say_error write what comes from "
        "outside",
        r"TextColumn\((?![^\n]*markup=False)": "its text would be markup",
        r"\b(Frame|Panel)\([^()]*title=f?\"": "a str would be markup: give a Text",
        r"\[/\]|\[(bold|dim|red|green|yellow|cyan)\]": "say it with Text.assemble or style=",
        r"from html import escape": "text.html_text",
        r"shlex\.(quote|join)\(": "text.command_text writes commands for people",
    }
    shell = {f"launch/{name}.py" for name in ("ray_start", "ray_up", "compose", "kuberay", "submit", "local_places")}
    found = []
    for path in (*PACKAGE.rglob("*.py"), *PROOFS.rglob("*.py"), *(ROOT / "scripts").rglob("*.py")):
        name = path.relative_to(PACKAGE if path.is_relative_to(PACKAGE) else ROOT).as_posix()
        if name in ("screen.py", "text.py"):
            continue
        for pattern, why in forbidden.items():
            # words for a machine, not for a person
            if "shlex" in pattern and (name in shell or name.startswith("proofs/")):
                continue
            found += [
                f"{name}: {line.strip()} ({why})" for line in path.read_text().splitlines() if re.search(pattern, line)
            ]
    assert found == []
