"""What a DICOM archive holds, read and written: series, studies, volumes, SUV, contours, segmentations, reports."""
