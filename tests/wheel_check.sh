#!/usr/bin/env bash
# Builds the wheel, installs it apart from the checkout and uses it by its command and through mim; then an editable
# install: tests/wheel_check.sh [ENVIRONMENT]
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

config=sniper_tiny_shapes.py
small=(
  model.backbone.base_channels=8 'model.neck.in_channels=[8,16,32,64]' train_cfg.max_epochs=1 train_cfg.val_interval=9
  train_dataloader.num_workers=0 train_dataloader.persistent_workers=False
  val_dataloader.num_workers=0 val_dataloader.persistent_workers=False
  test_dataloader.num_workers=0 test_dataloader.persistent_workers=False
)
quietly() { "$@" > "$work/log" 2>&1 || { tail -n 60 "$work/log"; echo "failed: $*"; exit 1; }; }
mmsniper() { "$work/venv/bin/mmsniper" "$@"; }

echo '== mmsniper: the tools it lists, from an empty folder'
mkdir "$work/empty"
cd "$work/empty"
mmsniper > "$work/list"
for path in $(grep -l "__name__ == '__main__'" "$root"/tools/*.py); do
  summary=$(sed -n '1s/^"""//p' "$path")
  grep -qF "$summary" "$work/list" || { echo "mmsniper does not list $path"; exit 1; }
done
if mmsniper nothing 2> "$work/log"; then echo 'a wrong name is taken'; exit 1; fi
grep -q 'there is no tool nothing' "$work/log"
echo '== mmsniper demo: images, the recipe with negative chips, pictures'
quietly mmsniper demo --train 4 --val 2 --cfg-options "${small[@]}"
test "$(grep -c '"done": true' work_dirs/demo/stages.json)" = 4
test -f work_dirs/demo/results.json
echo '== mmsniper train, test: a config that inherits mmsniper::'
echo "_base_ = 'mmsniper::demo/$config'" > mine.py
quietly mmsniper train mine.py --cfg-options "${small[@]}"
quietly mmsniper test mine.py work_dirs/mine/epoch_1.pth --tta --cfg-options "${small[@]}"
echo "== mmdet's own script: a config that says where ours is"
echo "_base_ = __import__('mmsniper').config_path('$config')" > theirs.py
quietly "$python" "$("$python" -c 'import mmdet; print(mmdet.__path__[0])')/.mim/tools/test.py" \
  theirs.py work_dirs/mine/epoch_1.pth --cfg-options "${small[@]}"
echo '== torchrun: two processes'
quietly "$python" -m torch.distributed.run --standalone --nproc_per_node=2 \
  -m mmsniper test $config work_dirs/mine/epoch_1.pth --launcher pytorch --cfg-options "${small[@]}"
cd "$work"

echo '== editable install: mim search, mim run'
# Of a copy: it writes mmsniper/.mim and what setuptools leaves.
mkdir "$work/clone"
tar -C "$root" -c --exclude='__pycache__' --exclude='.mim' mmsniper configs tools requirements setup.py pyproject.toml \
  MANIFEST.in README.md LICENSE CHANGELOG.md model-index.yml | tar -C "$work/clone" -x
"$env/bin/python" -m venv --without-pip "$work/editable"
site "$env/bin/python" > "$(site "$work/editable/bin/python")/environment.pth"
"$env/bin/python" -m pip --python "$work/editable/bin/python" install -q --no-deps --no-index --no-build-isolation \
  -e "$work/clone"
"$work/editable/bin/mmsniper" > "$work/log"
diff "$work/log" "$work/list"
"$work/editable/bin/python" -m mim search mmsniper > "$work/log"
grep -q sniper_faster-rcnn_r50_fpn_coco "$work/log"
quietly "$work/editable/bin/python" -m mim run mmsniper make_shapes_dataset data/few --train 1 --val 1
test -f data/few/annotations/val.json
"$work/editable/bin/python" -c "
from mmengine.utils import get_installed_path
assert get_installed_path('mmsniper') == '$work/clone/mmsniper', get_installed_path('mmsniper')"

if "$python" -c 'import importlib.metadata as m; m.version("onedl-mim")' 2> /dev/null; then
  # It takes the first file of an installation's RECORD for the package; here that is the command.
  echo 'the wheel works, but for mim: onedl-mim 0.5.1 finds no package named like its distribution'
  exit
fi
mim() { "$python" -m mim "$@"; }

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
echo 'the wheel works'
