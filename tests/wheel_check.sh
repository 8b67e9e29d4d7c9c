#!/usr/bin/env bash
# Builds the wheel, installs it apart from the checkout and uses it through mim: tests/wheel_check.sh [ENVIRONMENT]
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
env=$root/${1:-.venv}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$root"

echo '== source distribution, and the wheel made from it'
"$env/bin/python" -c "from setuptools import build_meta; build_meta.build_sdist('$work')" > "$work/log" 2>&1 || {
  cat "$work/log"; exit 1
}
"$env/bin/python" -m pip wheel -q --no-deps --no-build-isolation --no-index -w "$work" "$work"/mmsniper-*.tar.gz
wheel=$(echo "$work"/mmsniper-*.whl)

echo '== what the wheel holds'
"$env/bin/python" - "$wheel" <<'PY'
import sys
import zipfile
from pathlib import Path

found = {name for name in zipfile.ZipFile(sys.argv[1]).namelist() if '.dist-info/' not in name}
sources = [path for folder in ('mmsniper', 'configs', 'tools') for path in Path(folder).rglob('*') if path.is_file()]
sources = [path for path in sources if not {'__pycache__', '.mim'} & set(path.parts)]
wanted = {str(path) if path.parts[0] == 'mmsniper' else f'mmsniper/.mim/{path}' for path in sources}
wanted.add('mmsniper/.mim/model-index.yml')
print(f'{len(found)} files')
if found != wanted:
    sys.exit(f'missing: {sorted(wanted - found)}\nnot expected: {sorted(found - wanted)}')
PY

# A .pth line adds the environment's packages, but not what its own .pth files do: the editable install stays hidden.
echo '== installed in an environment of its own'
"$env/bin/python" -m venv --without-pip "$work/venv"
site() { "$1" -c 'import sysconfig; print(sysconfig.get_path("purelib"))'; }
python=$work/venv/bin/python
site "$env/bin/python" > "$(site "$python")/environment.pth"
"$env/bin/python" -m pip --python "$python" install -q --no-deps --no-index "$wheel"
cd "$work"
"$python" -c "
import mmsniper
from pathlib import Path
assert Path(mmsniper.__file__).is_relative_to('$work'), mmsniper.__file__
print('mmsniper', mmsniper.__version__)"

if "$python" -c 'import importlib.metadata as m; m.version("onedl-mim")' 2> /dev/null; then
  # It takes the first file of an installation's RECORD for the package; here that is the .dist-info.
  echo 'the wheel works, but for mim: onedl-mim 0.5.1 finds no package named like its distribution'
  exit
fi
mim() { "$python" -m mim "$@"; }
config=sniper_tiny_shapes.py
small=(
  model.backbone.base_channels=8 'model.neck.in_channels=[8,16,32,64]' train_cfg.max_epochs=1 train_cfg.val_interval=9
  train_dataloader.num_workers=0 train_dataloader.persistent_workers=False
  val_dataloader.num_workers=0 val_dataloader.persistent_workers=False
  test_dataloader.num_workers=0 test_dataloader.persistent_workers=False
)
quietly() { "$@" > "$work/log" 2>&1 || { tail -n 60 "$work/log"; echo "failed: $*"; exit 1; }; }

echo '== mim search'
mim search mmsniper > "$work/search"
for path in $(cd "$root/configs" && find . -name '*.py' -not -path './_base_/*'); do
  grep -q "$(basename "$path" .py)" "$work/search" || { echo "mim search does not list $path"; exit 1; }
done

echo '== mim run: data'
quietly mim run mmsniper make_shapes_dataset data/shapes --train 2 --val 1
echo '== mim train: one epoch'
quietly mim train mmsniper "$config" --gpus 0 --work-dir run --cfg-options "${small[@]}"
echo '== mim test'
quietly mim test mmsniper "$config" -C run/epoch_1.pth --gpus 0 --work-dir run --cfg-options "${small[@]}"
grep 'bbox_mAP' "$work/log" | tail -n 1
echo '== mim run: the recipe with negative chips'
quietly mim run mmsniper train_sniper sniper_tiny_neg_shapes.py --work-dir recipe --cfg-options "${small[@]}"
test "$(grep -c '"done": true' recipe/stages.json)" = 4
echo 'the wheel works'
