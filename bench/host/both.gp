# Both systems in panels side by side: costs against a size, or distributions.
# Given: $Cathodek, $Linuxk of each panel k, panel_k (draws it), n, columns, rows, height, heading,
# machine, measured.
set multiplot layout rows, columns \
  margins screen 70.0 / width, screen 1 - 30.0 / width, screen 65.0 / height, \
  screen 1 - 130.0 / height spacing screen 90.0 / width, screen 120.0 / height
set label 1 '{/:Bold '.heading.'}, '.measured at screen 0.5, screen 1 offset 0, -1.5 center \
  font ',15'
set label 2 machine at screen 0.5, screen 1 offset 0, -3 center font ',10'
set border 3 lc rgb '#444444'
set xtics nomirror
set ytics nomirror
set grid ytics lc rgb '#cccccc' lw 1 dt 1
set key top left Left reverse samplen 4 spacing 1.3
do for [k = 1:n] {
  eval(value(sprintf('panel_%d', k)))
  unset label
}
unset multiplot
