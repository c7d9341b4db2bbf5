"""The words of our own sentences: that one of them is a patient's name too tells nobody of the patient.

A test holds them against the sentences of the readers; a word that lacks here costs a message, never a name.
"""

from typing import Final

_SENTENCES: Final = """
a above accept acquired acquisition across activity adapter add admin after again against agree agreed air
algorithm all alone along among an and another any apart apply archive archives are as ask asked asks at
attenuation attn averaged away backup be became beds before begin belong belongs below beside between beyond
binary bit bits bodies body both bq bqml but by byte bytes can cannot carries case cases center centers
centroids changed channel channels check chmod class clinical close closed cnts column columns compare compared
compressed concilium contour contours conversion convert converted coordinates copies copy correct corrected
correction corrections could count counts covers csv ct cut damaged data date dates day decide declaration
declare declared decoded decy deep deeper degrees description detail device dice dicom dicomdir did differ
different dimensions directions do does dose draw drawn drew drop dynamic each early edited either elements else
empty encrypted end ends enter equal every everywhere exist expected export exported expression factor factors
fewer file files find finite first fit folder folders for formats formula found fractions frame frames free from
full gantry gap gaps gated give given gives gml go goes grey grid grids group grow gtv gz half has have header
headers height here hide hold holds hu id ids if image images imaging in infinite injected injection inside
intercept interpolated into is iso issues it item items its itself jobs joined json judged jump kept kernel key
killed kind kinds know known label labels lacks largest last layout layouts leading lean least leave left
lesions levels lie lies life like line lines lists little longer look looked looks loss lost low machine made
make makers makes map marked marks mask masks mass matches may mb mbq meant medical medium member memory mend
min missing mixes ml mm modality more most move must name named names nan nearest needs neighbor neighbour
neither net never new newer newest nifti nii nnu no nobody none nor normalisation not nothing now nowhere
nuclide numbers object objects of off older on once one ones only open opened or order orientation orientations
original other others otherwise out outside over overlap overlay own owner pacs padding pages pair part
participants parts password path patient patientid patients patientsex pattern percentile permissions
perpendicular person pet philips picture pictures pixel pixels place places planes points position positions
predict predicted prediction prefix preview private probabilities procedure process program projection pt
published put qform range rather read readable reason record reference region regions register regular remove
rename repeat repeated replace report resample resampled rescale rescaleintercept rescaleslope research restore
right rois row rows rtstruct said same sample save say says scale scaled scan scanner scout screen seconds see
seg segmentation segments sequence series set sets several sform shape shares shifted should sideways since
single size sizes slice slices slope small smaller so some somebody something source space spaced spacing
spacings spreadsheets stack stand standard start stated static stays step stored structure studies study such
sure surface suv table tags take taken takes target test th than that the their them then there these they this
those three tilted time times tissue to together too touched train tumour twice two type uid uids under uneven
unexpected union units unknown unless unpack unpacked until up upright use used value values viewer volume voxel
voxels wait was weight were what when where whether which who whole whom whose window windows with within
without words work worked workstation would write written wrong wrote yet you yourself zeros zip
"""
OWN_WORDS: Final = frozenset(_SENTENCES.split())
