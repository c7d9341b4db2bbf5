"""From what a hospital has, DICOM or published layouts of NIfTI, to the cases of a data folder."""
