"""The notebook's face: what ``import imtkit as imt`` gives somebody in JupyterLab."""
