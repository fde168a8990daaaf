# One row a case: a bar to the median, a line from the least sample to the p95, the median in words.
# Given: $DATA (place, median, min, p95, shade, label, words), n, x_least, x_most, axis, machine,
# measured, system.
set label 1 '{/:Bold '.system.': what operations cost}, '.measured at screen 0.5, screen 1 \
  offset 0, -1.6 center font ',15'
set label 2 machine at screen 0.5, screen 1 offset 0, -3.1 center font ',10'
set tmargin 4.6
set lmargin 29
set rmargin 3
set bmargin 3.6
set border 3 lc rgb '#444444'
set logscale x 10
set xrange [x_least:x_most]
set yrange [-0.7:n - 0.3]
set format x '10^{%L}'
set xlabel axis.' per operation, logarithmic'
set xtics nomirror out
set ytics nomirror scale 0
set mxtics 10
set grid xtics lc rgb '#dddddd' lw 1 dt 1
set style fill solid 1 border lc rgb '#222222'
set key inside right top Left reverse samplen 2.5 spacing 1.3 width 1 \
  opaque box lc rgb '#bbbbbb' height 0.4
plot $DATA using 2:1:(x_least):2:($1 - 0.34):($1 + 0.34):($5 == 1 ? 0xffffff : 0xbdbdbd):ytic(6) \
       with boxxyerror lc rgb variable notitle, \
     NaN with boxes fc rgb '#ffffff' lc rgb '#222222' title 'floor of the machine (median)', \
     NaN with boxes fc rgb '#bdbdbd' lc rgb '#222222' title 'result (median)', \
     $DATA using 2:1:3:4 with xerrorbars pt 7 ps 0.55 lw 1.6 lc rgb '#000000' \
       title 'least sample, median, 95th percentile', \
     $DATA using ($4 > $2 ? $4 : $2):1:7 with labels left offset 1.1, 0 font ',10' notitle
