"""The words of our own sentences: that one of them is a patient's name too tells nobody of the patient.

A test holds them against the sentences of the readers; a word that lacks here costs a message, never a name.
"""

from typing import Final

_SENTENCES: Final = """
a above accept accession acquired acquisition across activity actual adapter add admin after again against agree
agreed air algorithm all allocated alone along among an and another any apart apply archive archives are as ask
asked asks at attenuation attn averaged away backup be became beds before begin belong belongs below beside between
beyond binary birth bit bits bodies body both bq bqml but by byte bytes can cannot carries case cases center centers
centroids changed channel channels character check chmod class clinical close closed cnts code column columns
compare compared compressed compression concilium content contour contours conversion convert converted convolution
coordinates copies copy correct corrected correction corrections could count counts covers creation creator csv ct
cut damaged data date dates day decay decide declaration declare declared decoded decy deep deeper degrees
derivation description detail device dice dicom dicomdir did differ different dimensions directions directory do
does dose draw drawn drew drop duration dynamic each early edited either elements else empty encrypted end ends
enter equal every everywhere exist expected export exported expression factor factors fewer file files find finite
first fit folder folders for formats formula found fractional fractions frame frames free from full functional
gantry gap gaps gated geometric give given gives gml go goes grey grid grids group groups grow gtv gtvn gtvp gz half
has have header headers height here hide high hold holds hu id identification ids if image images imaging in
infinite information injected injection inside instance institution intercept interpolated interpretation into is
iso issues it item items its itself jobs joined json judged jump kept kernel key killed kind kinds know known label
labels lacks largest last layout layouts leading lean least leave left lesions levels lie lies life like limit line
lines lists little longer look looked looks loss lossy lost low machine made make makers makes map marked marks mask
masks mass matches maximum may mb mbq meant measures media medical medium member memory mend min missing mixes ml mm
modality more most move must name named names nan nearest needs neighbor neighbour neither net never new newer
newest nifti nii nnu no nobody none nor normalisation not nothing now nowhere nuclide number numbers object objects
of off offset older on once one ones only open opened operators or order orientation orientations original other
others otherwise out outside over overlap overlay own owner pacs padding pages pair part participants parts password
path patient patientid patients patientsex pattern per percentile permissions perpendicular person pet philips
photometric physician picture pictures pixel pixels place places plane planes points position positions predict
predicted prediction prefix preview private probabilities procedure process program projection pt published put
qform radionuclide radiopharmaceutical range rather read readable reason record reference referenced referring
region regions register regular remove rename repeat repeated replace report representation resample resampled
rescale rescaleintercept rescaleslope research restore right roicontour roigeneration roiname rois roisequence row
rows rtreferenced rtstruct said same sample samples save say says scale scaled scan scanner scout screen seconds see
seg segment segmentation segments sequence series set sets several sex sform shape shared shares shifted should
sideways since single size sizes slice slices slope small smaller so some somebody something sopclass sopinstance
source space spaced spacing spacings specific spreadsheets stack stand standard start stated static stays step
storage stored structure studies study such sure surface suv suvtype syntax table tags take taken takes target test
th than that the their them then there these they this those three tilted time times timezone tissue to together too
total touched train transfer transformation tumour twice two type uid uids under uneven unexpected union units
unknown unless unpack unpacked until up upright use used utc value values viewer volume voxel voxels wait was weight
were what when where whether which who whole whom whose window windows with within without words work worked
workstation would write written wrong wrote yet you yourself zeros zip
"""
OWN_WORDS: Final = frozenset(_SENTENCES.split())
