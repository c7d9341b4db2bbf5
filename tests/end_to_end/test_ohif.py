"""A SEG of ours in the viewer that clinicians know: OHIF in front of a real PACS, in a real browser.

Not part of the gate, since the viewer is 50 MB to fetch; by hand:

    npm pack @ohif/app@3.13 && tar xzf ohif-app-3.13.*.tgz
    CONCILIUM_OHIF=package/dist CONCILIUM_SCREENSHOTS=shots python -m pytest tests/end_to_end/test_ohif.py
"""

import json
import os
import shutil
import socket
import subprocess
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import dcmread
from scipy.ndimage import label

from client.data.volume import read_volume
from client.dicom.algorithm import Algorithm
from client.dicom.seg_writer import write_seg
from tests.support.chromium import keep, pixels, watched_page
from tests.support.loopback import free_port, wait_until
from tests.support.orthanc import PASSWORD, USER, Orthanc, orthanc

pytestmark = [pytest.mark.slow, pytest.mark.network, pytest.mark.realdata]

TYPES = "text/html html; text/javascript js; text/css css; application/wasm wasm; image/svg+xml svg;"
ROOTS = dict.fromkeys(("qidoRoot", "wadoRoot", "wadoUriRoot"), "/dicom-web")
SOURCE: dict[str, Any] = {
    "namespace": "@ohif/extension-default.dataSourcesModule.dicomweb",
    "sourceName": "pacs",
    "configuration": {
        **ROOTS,
        "name": "pacs",
        "friendlyName": "PACS",
        "imageRendering": "wadors",
        "thumbnailRendering": "wadors",
        "enableStudyLazyLoad": True,
        "omitQuotationForMultipartRequest": True,
    },
}
SETTINGS = {
    "routerBasename": None,
    "extensions": [],
    "modes": [],
    "customizationService": {},
    "investigationalUseDialog": {"option": "never"},
    "defaultDataSourceName": "pacs",
    "dataSources": [SOURCE],
}


@pytest.fixture
def viewer() -> Path:
    """The folder of the built viewer."""
    folder = Path(os.environ.get("CONCILIUM_OHIF", ""))
    if not (folder / "app-config.js").is_file():
        pytest.skip("OHIF: set CONCILIUM_OHIF to the folder dist of the npm package @ohif/app")
    return folder.resolve()


def answers(port: int) -> bool:
    """Whether something listens on a port of loopback."""
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


@contextmanager
def one_origin(viewer: Path, pacs: Orthanc, folder: Path) -> Iterator[str]:
    """The viewer and the PACS's DICOMweb under one address of loopback."""
    port, identity = free_port(), b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    (folder / "app-config.js").write_text(f"window.config = {json.dumps(SETTINGS)};")
    (folder / "nginx.conf").write_text(f"""daemon off; master_process off; pid nginx.pid; error_log stderr;
events {{ }}
http {{
  access_log off; types {{ {TYPES} }}
  client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi;
  scgi_temp_path scgi;
  server {{
    listen 127.0.0.1:{port};
    location /dicom-web/ {{
      proxy_pass http://127.0.0.1:{pacs.http_port}; proxy_set_header Host $http_host;
      proxy_set_header Authorization "Basic {identity}";
    }}
    location = /app-config.js {{ alias {folder}/app-config.js; }}
    location / {{ root {viewer}; try_files $uri /index.html; }}
  }}
}}
""")
    program = shutil.which("nginx", path="/usr/sbin:/usr/bin")
    with (folder / "nginx.log").open("wb") as log:
        front = subprocess.Popen([str(program), "-p", folder, "-c", folder / "nginx.conf"], stderr=log)
    try:
        wait_until(lambda: answers(port), "nginx", within_s=60)
        yield f"http://127.0.0.1:{port}"
    finally:
        front.kill()
        front.wait(20)


def test_a_seg_opens_over_its_ct(viewer: Path, data_root: Path, tmp_path: Path) -> None:
    """Contour of a real patient, written as if predicted: named in the panel, and red over the CT.

    Slices of this CT have 137 x 141 pixels: no whole bytes of one bit a pixel.
    """
    files = sorted((data_root / "sts_dicom" / "STS_008" / "CT" / "image").glob("*.dcm"))
    mask = read_volume(data_root / "sts" / "center-b" / "STS_008" / "gtv.nii.gz", "mask")
    headers = [dcmread(path, stop_before_pixels=True) for path in files]
    write_seg(mask, headers, Algorithm("shared/0002", "0f" * 32, "small", "0.1.0"), tmp_path / "seg.dcm")
    (tmp_path / "pacs").mkdir()
    with orthanc(tmp_path / "pacs") as pacs, watched_page(1400, 850) as (page, watched):
        pacs.upload([*files, tmp_path / "seg.dcm"])
        with one_origin(viewer, pacs, tmp_path) as address:
            page.goto(f"{address}/viewer?StudyInstanceUIDs={headers[0].StudyInstanceUID}")
            segmentation = page.locator('[data-cy="study-browser-thumbnail-no-image"]')
            segmentation.wait_for(timeout=120_000)
            page.locator(".shepherd-element").wait_for(timeout=30_000)
            page.keyboard.press("Escape")
            page.evaluate("for (const part of document.querySelectorAll('[class^=shepherd]')) part.remove()")
            segmentation.dblclick()
            page.get_by_text("Yes", exact=True).click(timeout=60_000)
            page.locator('[data-cy="panelSegmentation-btn"]').click()
            page.get_by_text("Predicted tumour").first.wait_for(timeout=60_000)
            pane = page.locator('[data-cy="viewport-pane"]').first
            pane.hover()
            for _ in range(9):
                page.mouse.wheel(0, 100)
                page.wait_for_timeout(300)
            page.keyboard.press("1")
            page.wait_for_timeout(3000)
            keep(page, "ohif-seg")
            red, green, blue = pixels(pane).astype(int).transpose(2, 0, 1)
    shown = (red > green + 60) & (red > blue + 60)
    sizes = np.bincount(label(shown)[0].ravel())[1:]
    assert shown.sum() > 5000
    assert (sizes > 20).sum() == 1, "the tumour is one region, no stripes"
    assert watched.outside == []
